"""Published import point: see slowfast.compat.pathways."""

from slowfast.compat.pathways import pack_pathway_output, tensor_normalize

__all__ = ["pack_pathway_output", "tensor_normalize"]
