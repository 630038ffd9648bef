"""Active inference in discrete worlds: beliefs, plans and learning from one free energy."""
