import dataclasses
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.train import (
    OPTIONS,
    Data,
    Distribution,
    Model,
    Optimizer,
    Pattern,
    Recipe,
    Schedule,
    Source,
    Train,
    dump_recipe,
    parse_recipe,
)  # fmt: skip

# TOML is UTF-8 text, so lone surrogates cannot occur in it.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
layers = st.text(string.ascii_letters + string.digits + "._", min_size=1, max_size=12)
fractions = st.floats(0, 1, exclude_max=True)
rates = st.floats(1e-12, 1e12)
counts = st.integers(1, 2**31)
plain = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), texts
)

distributions = st.one_of(
    st.just(Distribution()),
    st.builds(
        Distribution, kind=st.just("global"), floor=st.none() | fractions, normalise=st.sampled_from([None, "l2"])
    ),
    st.builds(
        Distribution,
        kind=st.sampled_from(["uniform", "erk"]),
        dense=st.none() | st.lists(layers, max_size=3).map(tuple),
        first_dense=st.none() | st.booleans(),
    ),
    st.builds(Distribution, kind=st.just("budget"), table=st.dictionaries(layers, fractions, max_size=3)),
)
patterns = st.one_of(
    st.just(Pattern()),
    st.just(Pattern("fanin")),
    st.builds(Pattern, st.just("block"), rows=counts, cols=counts),
    st.integers(1, 30).flatmap(lambda n: st.builds(Pattern, st.just("nm"), n=st.just(n), m=st.integers(n + 1, 64))),
)
methods = st.one_of(
    st.tuples(st.just("acdc"), st.builds(OPTIONS["acdc"], *[st.integers(1, 99)] * 5, st.booleans(), st.booleans())),
    st.tuples(
        st.just("gmp"),
        st.builds(OPTIONS["gmp"], st.floats(0, 0.4), st.floats(0.5, 1), counts, fractions, st.booleans()),
    ),
    st.tuples(st.just("oneshot"), st.builds(OPTIONS["oneshot"], from_zeros=st.booleans())),
)


def build(method, **keywords):
    return Recipe(method=method[0], options=method[1], **keywords)


recipes = st.builds(
    build,
    name=st.text(string.ascii_letters + string.digits, min_size=1, max_size=12),
    method=methods,
    sparsity=st.floats(0, 1, exclude_min=True, exclude_max=True),
    exclude=st.lists(layers, max_size=3).map(tuple),
    source=st.builds(Source, texts, texts, texts, texts),
    data=st.builds(Data, texts, st.integers(0, 9), st.booleans()),
    model=st.builds(Model, texts, st.dictionaries(texts, plain, max_size=3)),
    distribution=distributions,
    pattern=patterns,
    optimizer=st.builds(Optimizer, st.sampled_from(["sgd", "adam"]), rates, fractions, weight_decay=st.floats(0, 1)),
    schedule=st.builds(Schedule, step_epochs=st.sets(st.integers(0, 99), max_size=3).map(lambda s: tuple(sorted(s)))),
    train=st.builds(Train, counts, counts, st.integers(0, 2**63 - 1), fractions),
)


@settings(deadline=None, max_examples=80)
@given(recipes)
def test_a_written_recipe_reads_back_as_itself(recipe):
    assert parse_recipe(dump_recipe(recipe)) == recipe


@settings(deadline=None, max_examples=50)
@given(recipes)
def test_writing_twice_gives_the_same_text(recipe):
    text = dump_recipe(recipe)
    assert dump_recipe(parse_recipe(text)) == text


def test_every_option_has_a_help_text():
    for section in [Recipe, *(type(getattr(Recipe(), f.name)) for f in dataclasses.fields(Recipe))]:
        if dataclasses.is_dataclass(section):
            assert section.__doc__
            assert "(" not in section.__doc__.splitlines()[0] or not section.__doc__.startswith(section.__name__ + "(")
