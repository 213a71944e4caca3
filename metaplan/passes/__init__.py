"""Plan -> Plan passes. Each is a pure function; the pipeline verifies after each one."""
