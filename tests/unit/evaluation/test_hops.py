"""Seconds and labels."""

import torch

from ase_symcalc.evaluation import Hops


def test_a_hop_taken_twice_is_counted_once_with_both_times():
    hop = Hops()
    with torch.profiler.profile() as profile:
        for _ in range(2):
            with hop("walk"):
                pass
        with hop("run"):
            pass
    assert set(hop.seconds) == {"walk", "run"}
    counts = {event.key: event.count for event in profile.key_averages()}
    assert (counts["walk"], counts["run"]) == (2, 1)
