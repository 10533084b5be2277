"""Tasks: one measurement, or several, restored with one solver: how they are run, stopped, resumed, scored and
recorded.
"""
