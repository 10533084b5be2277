"""A scorecard of solvers on problems whose posterior is known: does a solver sample, or maximise, what it claims to?"""
