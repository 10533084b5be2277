"""Cases in which faults were found once, as regular expressions over command lines; they run in every test run."""

KNOWN: tuple[str, ...] = (
    r"bench ../in/suites/(operator|noise)_",
    r"bench ../in/suites/(task|override)_",
    r"bench ../in/suites/(seeds_2e9|nested|solver_number|solver_spec_number|metric_number)",
    r"bench .* --data=(fields|photographs):",
    r"lm_navier_(cut|flip|page)",
    r"report ../in/runs/",
    r"restore ../in/(meta_(shape|seed)|bomb|expanded|sparse|quantised|nested|meta_device|shape_none|seed_none)",
    r"exact .*(grf:side|funnel:d)=",
    r"train denoiser .*--minutes (nan|inf)",
    r"train denoiser ../in/declared",
    r"call (Rng|restore (seed|samples|batch_size|prior|operator function)|likelihood|solve) ?",
)
