"""Recipes, studies, sweeps, policies and styles that must be refused."""

from __future__ import annotations

from tests.malformed.damage import Folder, poison

STUDY = 'base = "digits_resnet8"\nmethods = ["gmp"]\n'


def settings() -> Folder:
    """Files of the readers of TOML."""
    files = Folder()
    toml: dict[str, bytes | str] = {
        "binary": b"\xff\xfe\x00",
        "no_toml": "a = ",
        "deep": "a = " + "[" * 3000,
        "huge_number": "a = " + "9" * 4400,
        "large_number": "name = " + "9" * 400,
        "twice": "a = 1\na = 2",
        "unknown_key": "nam = 1",
        "deep_table": "a." * 300 + "b = 1",
        "pickle": poison(),
        "long_key": "x" * 3000 + " = 1",
        "long_value": f"name = '{'x' * 3000}'",
    }
    for reader in ("recipe", "study", "sweep", "bias_study", "transfer_recipe", "policy", "style"):
        files.add(reader, ".toml", **toml)
    files.add(
        "recipe",
        ".toml",
        outside='name = "../../etc"',
        percent='method = "gmp"\nsparsity = 90',
        wrong_type="sparsity = '0.9'",
        negative="[train]\nepochs = -1",
        infinite="[optimizer]\nlr = inf",
        not_a_number="[optimizer]\nlr = nan",
        date="name = 1999-01-01",
        a_list="name = []",
        table_for_a_number="[sparsity]\na = 1",
    )
    files.add(
        "study",
        ".toml",
        empty="",
        base_of_4000_letters=f'base = "{"x" * 4000}"\nmethods = ["gmp"]',
        base_with_a_zero='base = "a\\u0000b"\nmethods = ["gmp"]',
        deep_cells=STUDY + "[cells.gmp" + ".a" * 300 + "]",
        unknown_method='base = "digits_resnet8"\nmethods = ["<b>"]',
    )
    files.add(
        "sweep",
        ".toml",
        empty="",
        format_attack='tasks = ["a"]\nmethods = ["gmp"]\npath = "{method.__class__}"',
        format_width='tasks = ["a"]\nmethods = ["gmp"]\npath = "{method:>99999999999}"',
    )
    files.add(
        "policy",
        ".toml",
        empty="",
        rule_of_text="rule = 'x'",
        rule_without_limit='[[rule]]\nmetric = "ba_change"',
        metric_a_list="[[rule]]\nmetric = []\nmax = 1",
        infinite='[[rule]]\nmetric = "ba_change"\nmax = inf',
    )
    files.add(
        "style",
        ".toml",
        empty="",
        no_rules='name = "a"\nsigns = ["b"]',
        long_reference=f'name = "a"\nsigns = ["b"]\n[[rules]]\npattern = "x(.)"\nname = "<{"1" * 5000}>"',
        long_sum=f'name = "a"\nsigns = ["b"]\n[[rules]]\npattern = "x(.)"\nname = "<1+{"1" * 5000}>"',
        bad_expression='name = "a"\nsigns = ["("]\nrules = []',
        rule_without_name='name = "a"\nsigns = ["b"]\n[[rules]]\npattern = "x"',
    )
    return files
