class NSQException(Exception): ...

class NSQErrorCode(NSQException):
    fatal: bool

ERROR_CODES: dict[bytes, type[NSQErrorCode]]
