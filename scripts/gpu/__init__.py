"""The parts of `scripts/gpu_check`.

`main`, `wheels`, `supervisor`, `results` and `plan` run without any dependency and start the `worker`, which imports
torch and runs the sections.
"""
