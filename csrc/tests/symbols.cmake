# Fails unless OBJECT defines exactly one symbol that a linker can see, named WANTED.
execute_process(COMMAND ${NM} --defined-only --extern-only --format=posix ${OBJECT}
                OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
string(STRIP "${listing}" listing)
if(NOT listing MATCHES "^${WANTED} T [0-9a-f ]+$")
  message(FATAL_ERROR "${OBJECT} must define ${WANTED} and nothing else, it defines:\n${listing}")
endif()
