"""What is minimised, and how: free energies, predictive coding, active inference."""
