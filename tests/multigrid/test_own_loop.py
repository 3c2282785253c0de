"""The example of multigrid in a user's own loop."""

from statistics import mean

import torch

from projects.multigrid import own_loop


def test_a_plain_network_learns_from_a_plain_data_set_in_a_loop_of_its_own():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        curve = own_loop.train()
    losses, accuracies = zip(*curve, strict=True)
    assert mean(losses[-6:]) < 0.7 * mean(losses[:6])
    assert mean(accuracies[-6:]) > 0.75  # chance is 0.25
