"""What runs in another interpreter, a notebook's or one with another Transformers: imports only what that one has."""
