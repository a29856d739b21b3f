import sys
import sysconfig

import pytest

from onward.core import declared
from onward.core.errors import Location


def test_here_is_the_users_line_not_onwards():
    import onward as ow

    found, line = ow.check("positive", None), sys._getframe().f_lineno
    assert found.location == Location(__file__, line)


def test_frames_of_onward_and_of_generated_code_are_passed_over():
    namespace = {"__name__": "onward.somewhere", "here": declared.here}
    program = compile("found = here()", "onward/somewhere.py", "exec")
    line = sys._getframe().f_lineno + 1
    exec(program, namespace)
    assert namespace["found"] == Location(__file__, line)


def test_a_function_is_where_it_is_defined():
    def function(): ...

    assert declared.of_function(function) == Location(__file__, function.__code__.co_firstlineno)


def test_an_exception_is_blamed_on_the_users_innermost_line():
    import json

    def users_function():
        return json.loads("{")

    try:
        users_function()
    except ValueError as error:
        found = declared.of_exception(error)
    assert found == Location(__file__, users_function.__code__.co_firstlineno + 1)


def test_an_exception_of_libraries_alone_blames_nobody():
    library = sysconfig.get_paths()["purelib"] + "/vendor.py"
    with pytest.raises(ValueError, match="no") as raised:
        exec(compile("raise ValueError('no')", library, "exec"))
    error = raised.value.with_traceback(raised.value.__traceback__.tb_next)
    assert declared.of_exception(error) is None
