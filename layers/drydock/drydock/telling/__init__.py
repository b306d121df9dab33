"""How people are told, each cause once."""
