from tests.folder import write_into_memory

write_into_memory()
