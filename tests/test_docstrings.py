"""Docstrings of public names: one order of sections, every argument, an example a function."""

import inspect
import re

import pytest

import kerasae

ORDER = ["Args", "Attributes", "Returns", "Yields", "Raises", "Warns", "Reference", "Example"]


def public(module, prefix):
    """Every public class and function of kerasae by its full name."""
    found = {}
    for name in module.__all__:
        one = getattr(module, name)
        if inspect.ismodule(one):
            found |= public(one, f"{prefix}.{name}")
        elif callable(one):
            found[f"{prefix}.{name}"] = one
    return found


PUBLIC = public(kerasae, "kerasae")


def sections(one):
    return re.findall(r"^([A-Z][a-z]+):(?= |$)", inspect.getdoc(one) or "", re.MULTILINE)


def test_all_public_names_are_found():
    assert {"kerasae.stacked_autoencoder", "kerasae.anomaly.score"} <= PUBLIC.keys()


@pytest.mark.parametrize("name", PUBLIC)
def test_sections_come_in_one_order(name):
    found = [section for section in sections(PUBLIC[name]) if section in ORDER]
    assert found == sorted(set(found), key=ORDER.index)
    assert (inspect.getdoc(PUBLIC[name]) or "").split("\n")[0].endswith(".")


FUNCTIONS = [name for name, one in PUBLIC.items() if inspect.isfunction(one)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_an_example(name):
    assert "Example" in sections(PUBLIC[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_a_function_is_documented(name):
    text = inspect.getdoc(PUBLIC[name])
    if "**options: Other arguments of" in text:  # of a builder on which this one builds
        text += inspect.getdoc(kerasae.stacked_autoencoder) + inspect.getdoc(kerasae.Autoencoder)
    for argument in inspect.signature(PUBLIC[name]).parameters:
        assert re.search(rf"^ +(\*{{0,2}}\w+, )*\*{{0,2}}{argument}(, \w+)*:", text, re.M), argument
