"""GenDeployment."""
