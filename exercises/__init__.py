"""Exercises on the running platform: what there is, how far a learner has come, and how answers are graded.

Each folder ``NN-name`` is one exercise: the learner's page, the files of an attempt (``answer``), the grader
(``check.py``), a ``solution`` and ``wrong`` answers with a part of the message that each must get. ``grading`` has what
graders share. ``docs/how-to/learn.md`` describes the commands.
"""
