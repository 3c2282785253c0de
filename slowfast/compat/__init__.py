"""Functions of the published code over those of this project, with the published names and arguments.

Nothing inside the project imports this package, except modules at the published places that only re-export from it.
docs/SWITCHING.md lists the names.
"""
