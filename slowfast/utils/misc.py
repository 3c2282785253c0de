"""Published import point: see slowfast.compat.misc."""

from slowfast.compat.misc import (
    check_nan_losses,
    cpu_mem_usage,
    get_class_names,
    gpu_mem_usage,
    is_eval_epoch,
    launch_job,
    log_model_info,
    params_count,
)

__all__ = [
    "check_nan_losses",
    "cpu_mem_usage",
    "get_class_names",
    "gpu_mem_usage",
    "is_eval_epoch",
    "launch_job",
    "log_model_info",
    "params_count",
]
