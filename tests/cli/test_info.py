import json

from tamis.cli import main
from tamis.cli.info import advice

QUIET = {
    "native": True,
    "isa": "avx2",
    "available_isas": ["avx2", "baseline"],
    "threads": 2,
    "cpus": 2,
    "load_average": [0.1, 0.1, 0.1],
    "allocator": "jemalloc",
    "system": "Linux",
    "huge_pages": "madvise",
}


def test_info_for_machines_is_one_json_object(capsys):
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"versions", "isa", "threads", "allocator", "huge_pages", "choices", "advice"} <= set(found)


def test_info_for_people_names_the_instruction_set(capsys):
    assert main(["info"]) == 0
    assert "instruction set" in capsys.readouterr().out


def test_a_good_machine_gets_no_advice():
    assert advice(QUIET) == []


def test_each_weakness_gets_its_advice():
    weaknesses = {
        "C++ compiler": {"native": False},
        "TAMIS_ISA": {"isa": "baseline"},
        "lower": {"threads": 4},
        "raise OMP_NUM_THREADS": {"threads": 1},
        "busy": {"load_average": [3.0, 1.0, 1.0]},
        "jemalloc": {"allocator": "system default"},
        "huge pages": {"huge_pages": "never"},
    }
    for word, change in weaknesses.items():
        (hint,) = advice({**QUIET, **change})
        assert word in hint
