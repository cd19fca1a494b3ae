"""What runs inside Triton. The whole folder is copied into a model's version folder as the package `genops_backend`.

It must work there alone: numpy (1.26 or 2), the standard library, and the one runtime that the engine was built for.
Nothing of gentrainers may be imported here, only siblings by relative imports.
"""
