"""How well labels agree with out-of-fold predictions, by the methods of confident learning."""
