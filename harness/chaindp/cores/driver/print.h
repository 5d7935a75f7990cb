// Verilator's run-time library and models print through this: what RTL displays must not end up in the caller's stdout.
#pragma once

extern "C" __attribute__((format(printf, 1, 2))) int chaindp_print(const char* format, ...);
