"""Exercises on the running platform: what there is, how far a learner has come, and how answers are graded.

Each folder ``NN-name`` is one exercise. ``docs/how-to/learn.md`` describes the commands, ``docs/teaching.md`` the parts
of an exercise.
"""
