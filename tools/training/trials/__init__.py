"""Ways to train pocket, compared on fixed pictures beside their controls. Nothing of it is shipped."""
