import os

from tests.videos import write_video


def test_encoding_leaves_the_scheduling_of_the_process_as_it_was(tmp_path):
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    write_video(tmp_path / "v.mp4", 5, codec="libsvtav1")
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before
