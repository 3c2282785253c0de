"""Checks that pass, fail, crash and hang. The process that runs them imports nothing else."""

import os
import time


def right(settings, number):
    return f"{number} on {settings.device}"


def wrong(settings):
    raise KeyError("what is missing")


def crashing(settings):
    os._exit(3)


def hanging(settings):
    time.sleep(600)
