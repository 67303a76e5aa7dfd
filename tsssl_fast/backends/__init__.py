"""Which backend runs an operator, how operators are registered, what each backend is made of."""
