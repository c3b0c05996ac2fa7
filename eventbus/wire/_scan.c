/* Scan: one pass over a msgpack envelope, which gives its attributes and its data, within all limits.

   `scan(body, max_depth, max_containers, max_items)` returns what `Envelope` is made of, as the tuple of its arguments,
   or None for whatever is not plain: then the readers in Python decide, and say what is wrong. So this one may refuse
   anything, and must take nothing that `codec.py`'s careful reader refuses or reads otherwise; tests/fuzz/scan.py holds
   the two beside one another.

   Only Python's stable interface is used, so that one binary serves every Python from 3.11 on. */
#define Py_LIMITED_API 0x030B0000
#include "_values.h"

#define MAX_COUNT 2147483647 /* these three as in envelope.py */
#define MAX_ATTRIBUTE_LENGTH 1024
#define MAX_ID_LENGTH 255

/* In the order of the arguments of an envelope; then its two extensions by name, which are one argument, and what says
   nothing to it. */
enum {
    ID, SOURCE, TYPE, TIME, DATA, CORRELATION, CAUSE, TRACE, SUBJECT, VERSION, DEPTH, EXTENSIONS,
    PERSONAL = EXTENSIONS, REPLY, CONTENT, SPEC, ATTRIBUTES
};

typedef struct {
    const char *name;
    size_t size;
    size_t longest; /* characters, where it is a text */
} Attribute;

#define NAMED(name) name, sizeof name - 1
static const Attribute attributes[ATTRIBUTES] = {
    [ID] = {NAMED("id"), MAX_ID_LENGTH},
    [SOURCE] = {NAMED("source"), MAX_ID_LENGTH},
    [TYPE] = {NAMED("type"), MAX_ID_LENGTH},
    [TIME] = {NAMED("time"), MAX_ATTRIBUTE_LENGTH},
    [DATA] = {NAMED("data"), 0},
    [CORRELATION] = {NAMED("correlationid"), MAX_ID_LENGTH},
    [CAUSE] = {NAMED("causationid"), MAX_ID_LENGTH},
    [TRACE] = {NAMED("traceparent"), MAX_ATTRIBUTE_LENGTH},
    [SUBJECT] = {NAMED("subject"), MAX_ATTRIBUTE_LENGTH},
    [VERSION] = {NAMED("dataversion"), 0},
    [DEPTH] = {NAMED("depth"), 0},
    [PERSONAL] = {NAMED("personal"), MAX_ATTRIBUTE_LENGTH},
    [REPLY] = {NAMED("receiptto"), MAX_ATTRIBUTE_LENGTH},
    [CONTENT] = {NAMED("datacontenttype"), MAX_ATTRIBUTE_LENGTH},
    [SPEC] = {NAMED("specversion"), MAX_ATTRIBUTE_LENGTH},
};

static int attribute_of(const uint8_t *name, size_t size) {
    for (int which = 0; which < ATTRIBUTES; which++)
        if (attributes[which].size == size && !memcmp(attributes[which].name, name, size)) return which;
    return -1;
}

static int is_printable(const uint8_t *bytes, size_t size) {
    uint8_t odd = 0;
    for (size_t i = 0; i < size; i++) odd |= bytes[i] < 0x20 || bytes[i] > 0x7e;
    return !odd;
}

static int is_between(const uint8_t *time, size_t size) { /* of the years that need no closer look */
    return size >= 4 && memcmp(time, "1971", 4) >= 0 && memcmp(time, "9999", 4) < 0;
}

static PyObject *read_count(Reader *reader, int least) {
    PyObject *count = read_value(reader);
    int overflow = 0;
    if (!count || !PyLong_CheckExact(count)) goto refuse; /* True is no count */
    long long number = PyLong_AsLongLongAndOverflow(count, &overflow);
    if (!overflow && number >= least && number <= MAX_COUNT) return count;
refuse:
    Py_XDECREF(count);
    return NULL;
}

/* Return the value of one attribute, or NULL as `read_value` does. */
static PyObject *read_attribute(Reader *reader, int which) {
    const uint8_t *text;
    size_t size;
    if (which == DATA) return read_value(reader);
    if (which == VERSION || which == DEPTH) return read_count(reader, which == VERSION);
    if (!take_text(reader, &text, &size) || !size || size > attributes[which].longest || !is_printable(text, size))
        return NULL;
    if (which == SPEC) return size == 3 && !memcmp(text, "1.0", 3) ? Py_NewRef(Py_None) : NULL;
    if (which == CONTENT) return Py_NewRef(Py_None); /* said again by the first byte */
    if (which == TIME && !is_between(text, size)) return NULL;
    if (which == SOURCE || which == TYPE || which == PERSONAL || which == REPLY) return make_kept_text(reader->state, text, size);
    return make_text(text, size);
}

/* Put all extensions into one dict, at the place of the first. */
static int gather_extensions(PyObject **found) {
    if (!found[PERSONAL] && !found[REPLY]) return 1;
    PyObject *extensions = PyDict_New();
    for (int which = PERSONAL; which <= REPLY; which++) {
        if (!extensions || !found[which]) continue;
        if (PyDict_SetItemString(extensions, attributes[which].name, found[which])) Py_CLEAR(extensions);
        Py_CLEAR(found[which]);
    }
    found[EXTENSIONS] = extensions;
    return extensions != NULL;
}

/* Return the arguments of an envelope, which takes the found values over: as few as say all. */
static PyObject *make_arguments(PyObject **found) {
    int last = CORRELATION, is_first_version = PyLong_AsLong(found[VERSION]) == 1;
    if (!gather_extensions(found)) return NULL;
    for (int which = CAUSE; which <= EXTENSIONS; which++)
        if (found[which] && !(which == VERSION && is_first_version)) last = which;
    PyObject *arguments = PyTuple_New(last == CORRELATION ? last + 1 : last + 2);
    for (int which = 0; arguments && which <= last; which++) {
        PyObject *argument = found[which];
        if (!argument) argument = which == DEPTH ? PyLong_FromLong(0) : Py_NewRef(Py_None);
        found[which] = NULL;
        if (which == CAUSE) PyTuple_SetItem(arguments, CAUSE, Py_NewRef(Py_None)); /* `others`: what no bytes say */
        PyTuple_SetItem(arguments, which < CAUSE ? which : which + 1, argument);
    }
    return arguments;
}

static PyObject *scan_envelope(Reader *reader) {
    PyObject *found[ATTRIBUTES] = {NULL}, *arguments = NULL;
    uint64_t count = 0;
    if (left(reader) && (*reader->at & 0xf0) == 0x80)
        count = *reader->at++ & 0x0f;
    else if (!left(reader) || *reader->at != 0xde || !take_number(reader, 2, &count))
        return NULL;
    if (reader->max_depth < 1 || reader->max_containers < 1 || count > (uint64_t)reader->max_items) return NULL;
    while (count--) {
        const uint8_t *name;
        size_t size;
        int which = take_text(reader, &name, &size) ? attribute_of(name, size) : -1;
        if (which < 0 || found[which]) goto done;
        if (!(found[which] = read_attribute(reader, which))) goto done;
    }
    for (int which = ID; which <= CORRELATION; which++)
        if (!found[which]) goto done;
    if (found[SPEC] && found[VERSION] && !left(reader)) arguments = make_arguments(found);
done:
    for (int which = 0; which < ATTRIBUTES; which++) Py_XDECREF(found[which]);
    return arguments;
}

static int limit_of(PyObject *limit, Py_ssize_t *most) {
    int overflow = 0;
    long long number = PyLong_AsLongLongAndOverflow(limit, &overflow);
    if (number == -1 && !overflow && PyErr_Occurred()) return 0;
    *most = overflow > 0 || number > PY_SSIZE_T_MAX ? PY_SSIZE_T_MAX : overflow < 0 || number < 0 ? 0 : (Py_ssize_t)number;
    return 1;
}

static PyObject *scan(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    Reader reader = {.state = PyModule_GetState(module), .depth = 1, .containers = 1};
    Py_ssize_t depth, size;
    char *body;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "scan(body, max_depth, max_containers, max_items)");
        return NULL;
    }
    if (!limit_of(given[1], &depth) || !limit_of(given[2], &reader.max_containers) || !limit_of(given[3], &reader.max_items))
        return NULL;
    if (!PyBytes_Check(given[0]) || PyBytes_AsStringAndSize(given[0], &body, &size)) Py_RETURN_NONE;
    reader.begin = reader.at = (const uint8_t *)body;
    reader.end = reader.at + size;
    reader.max_depth = depth < DEEPEST ? (int)depth : DEEPEST;
    PyObject *arguments = scan_envelope(&reader);
    if (arguments) return arguments;
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) return NULL;
        PyErr_Clear();
    }
    Py_RETURN_NONE;
}

/* -- the module ----------------------------------------------------------------------------------------------------- */

static void forget(void *module) {
    State *state = PyModule_GetState(module);
    if (state)
        for (int i = 0; i < SLOTS; i++) Py_CLEAR(state->slots[i].text);
}

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL, "Return the arguments of an Envelope, or None."}, {0}};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_scan", .m_size = sizeof(State), .m_methods = methods, .m_slots = slots, .m_free = forget};

PyMODINIT_FUNC PyInit__scan(void) { return PyModuleDef_Init(&definition); }
