"""Cases in which faults were found once, as regular expressions over command lines; they run in every test run."""

KNOWN: tuple[str, ...] = (
    r"bench ../in/suites/(operator|noise)_",
    r"bench ../in/suites/(task|override)_",
    r"bench ../in/suites/(seeds_2e9|nested|solver_number|solver_spec_number|metric_number)",
    r"bench .* --data=(fields|photographs):",
)
