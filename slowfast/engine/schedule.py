"""The schedule of a run, checked against its model."""

from slowfast import multigrid
from slowfast.config.node import CfgNode
from slowfast.engine.cost import clip_cost
from slowfast.engine.mixing import check_pairs
from slowfast.models.build import check_shapes, has_batch_norm
from slowfast.models.norm import norm_groups
from slowfast.multigrid import Schedule
from slowfast.multigrid.build import counts_cost, has_cycle
from slowfast.utils.world import World, process_batch


def build_schedule(cfg: CfgNode) -> Schedule:
    """Return the schedule of `cfg` on its processes. Raise UserError if the model or mixing does not take a shape."""
    world, batch_norm = World.from_cfg(cfg), has_batch_norm(cfg)
    norm = norm_groups(cfg, world) if batch_norm and not has_cycle(cfg) else (1, 1)
    cost = clip_cost(cfg) if counts_cost(cfg) else None
    schedule = multigrid.build_schedule(
        cfg, process_batch(cfg, "TRAIN"), world.size, *norm, batch_norm=batch_norm, cost=cost
    )
    check_shapes(cfg, schedule.shapes)
    check_pairs(cfg, schedule)
    return schedule


def build_baseline(cfg: CfgNode) -> Schedule:
    """Return the schedule of the same recipe without multigrid, even if `cfg` asks for a cycle."""
    return multigrid.build_baseline(cfg, process_batch(cfg, "TRAIN"), batch_norm=has_batch_norm(cfg))
