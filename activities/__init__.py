"""What touches the world: one class per family, dependencies given to its constructor.

Every activity says in its docstring why repeating it is safe, or how an unknown outcome is settled.
"""
