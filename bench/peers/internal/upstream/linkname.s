// This file lets functions without a body, linked by name, compile.
