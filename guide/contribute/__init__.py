"""What a contributor starts from: the two files of a new method, made from templates."""
