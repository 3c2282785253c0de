"""The schedule of a run: that of its config, on its processes, with shapes that its model can be trained on."""

from slowfast import multigrid
from slowfast.models.build import check_shapes
from slowfast.models.norm import norm_groups
from slowfast.multigrid import Schedule
from slowfast.multigrid.build import has_cycle
from slowfast.utils.world import World


def build_schedule(cfg, world: World) -> Schedule:
    """Return the schedule that `cfg` asks for. Raise UserError where the model does not take one of its shapes."""
    batch_size = world.share("TRAIN.BATCH_SIZE", cfg.TRAIN.BATCH_SIZE)
    norm = (1, 1) if has_cycle(cfg) else norm_groups(cfg, world)
    schedule = multigrid.build_schedule(cfg, batch_size, world.size, *norm)
    check_shapes(cfg, schedule.shapes)
    return schedule


def build_baseline(cfg, world: World) -> Schedule:
    """Return the schedule of the recipe without multigrid, whatever its cycles."""
    return multigrid.build_baseline(cfg, world.share("TRAIN.BATCH_SIZE", cfg.TRAIN.BATCH_SIZE))
