"""The five tables of the published experiments, prepared exactly as there, from local files."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tamis.errors import FileError, UsageError
from tamis.sources._tabular import TabularData, binned, encode, local_file, numbers, read_table

Folder = "str | os.PathLike[str] | None"
AGE = (15, 25, 35, 45, 55, 65, 99)
HOURS = (0, 20, 30, 40, 99)
ADULT_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "class",
)  # fmt: skip


def load_adult(folder: Any = None) -> TabularData:
    """Adult census income, 48,842 rows and 37 columns; y = 1 above 50K, a = 1 women.

    Reads ``adult.test`` and then ``adult.data``: the order decides the published splits.

    Raises:
        FileError: a file is missing or not that table.
    """
    import pandas as pd

    parts = []
    for name in ("adult.test", "adult.data"):
        frame = read_table(
            name, folder, ADULT_COLUMNS, header=None, names=list(ADULT_COLUMNS), skipinitialspace=True, comment="|"
        )
        parts.append(frame.dropna(how="all"))
    return adult_table(pd.concat(parts, ignore_index=True), "adult.data")


def adult_table(frame: Any, where: str) -> TabularData:
    """The prepared table from the 14 columns and the class as strings; "?" is an ordinary level."""
    import pandas as pd

    frame = frame.apply(lambda column: column.str.strip())
    label = frame["class"].str.rstrip(".")
    _only(where, "class", label, ("<=50K", ">50K"))
    _only(where, "sex", frame["sex"], ("Female", "Male"))
    categorical = pd.DataFrame(
        {
            "workclass": frame["workclass"],
            "education": frame["education"],
            "hours": binned(numbers(frame, "hours-per-week", where), HOURS),
            "age": binned(numbers(frame, "age", where), AGE),
            "country": np.where(frame["native-country"] == "United-States", "US", "Other"),
            "race": frame["race"],
        }
    )
    return encode("adult", categorical, frame["sex"] == "Female", frame[[]], label == ">50K")


def load_compas(folder: Any = None) -> TabularData:
    """COMPAS two-year recidivism, 6,172 rows and 8 columns; y = 1 reoffended, a = 1 women.

    Rows with a screening more than 30 days from the arrest, without a record or for ordinary traffic offences are left
    out, as ProPublica did.  Reads ``compas-nonames.csv``.

    Raises:
        FileError: the file is missing or not that table.
    """
    import pandas as pd

    name = "compas-nonames.csv"
    needed = ("sex", "age_cat", "race", "priors_count", "days_b_screening_arrest", "c_charge_degree", "is_recid")
    frame = read_table(name, folder, (*needed, "two_year_recid"))
    days = numbers(frame, "days_b_screening_arrest", name).abs()
    frame = frame[(days <= 30) & (frame["is_recid"] != "-1") & (frame["c_charge_degree"] != "O")]
    _only(name, "sex", frame["sex"], ("Female", "Male"))
    _only(name, "two_year_recid", frame["two_year_recid"], ("0", "1"))
    categorical = pd.DataFrame(
        {
            "c_charge_degree": frame["c_charge_degree"],
            "age_cat": frame["age_cat"],
            "race": frame["race"].replace({"Native American": "Other", "Asian": "Other"}),
        }
    )
    numeric = pd.DataFrame({"priors_count": numbers(frame, "priors_count", name)})
    return encode("compas", categorical, frame["sex"] == "Female", numeric, frame["two_year_recid"] == "1")


def load_german(folder: Any = None) -> TabularData:
    """German credit, 1,000 rows and 15 columns; y = 1 good risk, a = 1 women.  Reads ``german_credit_data.csv``.

    Raises:
        FileError: the file is missing or not that table.
    """
    import pandas as pd

    name = "german_credit_data.csv"
    accounts = ("Saving accounts", "Checking account")
    frame = read_table(name, folder, ("Age", "Sex", *accounts, "Credit amount", "Duration", "Risk"))
    _only(name, "Sex", frame["Sex"], ("female", "male"))
    _only(name, "Risk", frame["Risk"], ("good", "bad"))
    categorical = pd.DataFrame({"age": binned(numbers(frame, "Age", name), AGE)})
    for column in accounts:
        categorical[column] = frame[column].where(frame[column] != "NA")
    numeric = pd.DataFrame(
        {
            "Duration": numbers(frame, "Duration", name),
            "Credit amount": numbers(frame, "Credit amount", name) / 1000,
        }
    )
    return encode("german", categorical, frame["Sex"] == "female", numeric, frame["Risk"] == "good")


def load_drugs(folder: Any = None) -> TabularData:
    """Drug consumption, 1,885 rows and 12 columns; y = 1 has ever used cocaine, a = 1 women.

    Reads ``drug_consumption.csv``.

    Raises:
        FileError: the file is missing or not that table.
    """
    import pandas as pd

    name = "drug_consumption.csv"
    features = (
        "Age", "Education", "Country", "Ethnicity", "Nscore", "Escore", "Oscore", "Ascore", "Cscore", "Impulsive", "SS",
    )  # fmt: skip
    frame = read_table(name, folder, (*features, "Gender", "Coke"))
    numeric = pd.DataFrame({column: numbers(frame, column, name) for column in features})
    return encode("drugs", frame[[]], numbers(frame, "Gender", name) > 0, numeric, frame["Coke"] != "CL0")


def load_acs51(folder: Any = None) -> TabularData:
    """A fifth of ACSIncome 2018, 332,900 rows and 78 columns, source = state; y = 1 above 50,000 dollars, a = 1 women.

    Reads ``acs_income_51states.parquet``.

    Raises:
        FileError: the file is missing or not that table.
    """
    import pandas as pd

    name = "acs_income_51states.parquet"
    file = local_file(name, folder)
    needed = ["STATE", "PINCP", "RAC1P", "SCHL", "POBP", "SEX", "OCCP", "RELP", "COW", "MAR", "WKHP", "AGEP"]
    try:
        frame = pd.read_parquet(file, columns=needed)
    except (OSError, ValueError) as error:
        raise FileError(
            f"{file}: cannot be read ({' '.join(str(error).split())}); expected {', '.join(needed)}"
        ) from error
    categorical = pd.DataFrame(
        {
            "AGEP": binned(frame["AGEP"], AGE),
            "COW": frame["COW"],
            "SCHL": frame["SCHL"],
            "MAR": frame["MAR"],
            "OCCP": frame["OCCP"] // 1000,
            "POBP": (frame["POBP"] >= 100).astype(int),
            "RELP": frame["RELP"],
            "WKHP": binned(frame["WKHP"], HOURS),
            "RAC1P": frame["RAC1P"],
        }
    )
    states = frame["STATE"].astype(str).to_numpy(dtype=str)
    return encode("acs51", categorical, frame["SEX"] == 2, frame[[]], frame["PINCP"] == 1, sources=states)


LOADERS: dict[str, Callable[[Any], TabularData]] = {
    "adult": load_adult,
    "compas": load_compas,
    "german": load_german,
    "drugs": load_drugs,
    "acs51": load_acs51,
}


def load_tabular(name: str, folder: str | os.PathLike[str] | None = None) -> TabularData:
    """One of the published tables: adult, compas, german, drugs, acs51.

    Args:
        name: of the table.
        folder: holds its file under the published name; None for ``$TAMIS_SHARED/data/tab``.

    Raises:
        UsageError: an unknown name.
        FileError: the file is missing or not that table.
    """
    if name not in LOADERS:
        raise UsageError(f"data {name!r}: expected one of {', '.join(LOADERS)}")
    return LOADERS[name](folder)


def _only(where: str, name: str, column: Any, expected: tuple[str, str]) -> None:
    found = set(column.unique().tolist())
    if not found <= set(expected):
        shown = ", ".join(sorted(map(str, found))[:6])
        raise FileError(f"{where}: column {name!r} has {shown}; expected {' and '.join(expected)}")
