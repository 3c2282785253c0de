"""The schedule of a run, checked against its model."""

from slowfast import multigrid
from slowfast.config.node import CfgNode
from slowfast.models.build import check_shapes
from slowfast.models.norm import norm_groups
from slowfast.multigrid import Schedule
from slowfast.multigrid.build import has_cycle
from slowfast.utils.world import World, process_batch


def build_schedule(cfg: CfgNode) -> Schedule:
    """Return the schedule of `cfg` on its processes. Raise UserError if the model does not take a shape."""
    world = World.from_cfg(cfg)
    norm = (1, 1) if has_cycle(cfg) else norm_groups(cfg, world)
    schedule = multigrid.build_schedule(cfg, process_batch(cfg, "TRAIN"), world.size, *norm)
    check_shapes(cfg, schedule.shapes)
    return schedule


def build_baseline(cfg: CfgNode) -> Schedule:
    """Return the schedule of the same recipe without multigrid, even if `cfg` asks for a cycle."""
    return multigrid.build_baseline(cfg, process_batch(cfg, "TRAIN"))
