"""Memory by formula: the shapes that a config.json gives, and the bytes that a method stores of them."""
