# shellcheck shell=bash
# Every script sources this first. Unsets what, in the user's shell, would change how scripts, Python and the installers work.
# Proxies, package indexes and certificates stay: installing needs them. The platform's programs drop those as well
# (infra/processes/environment.py). PYTHON, the path of an interpreter, is a setting of `infra/bootstrap`.
# Options of the user's bash arrive in SHELLOPTS and BASHOPTS, and exported functions replace commands.
set +o noclobber +o noglob +o posix
# shellcheck disable=SC2046 # one name per word
unset -f $(compgen -A function)
unset BASH_ENV CDPATH ENV GREP_OPTIONS LANGUAGE POSIXLY_CORRECT TZ VIRTUAL_ENV
unset PIP_CONSTRAINT PIP_PREFIX PIP_PYTHON PIP_REQUIRE_VIRTUALENV PIP_ROOT PIP_TARGET PIP_USER
unset UV_CONSTRAINT UV_OVERRIDE UV_PROJECT_ENVIRONMENT UV_PYTHON UV_SYSTEM_PYTHON UV_WORKING_DIR UV_WORKING_DIRECTORY
for variable in ${!LC_*} ${!PYTHON*}; do
    [ "$variable" = PYTHON ] || unset "$variable"
done
unset variable
export LANG=C.UTF-8
