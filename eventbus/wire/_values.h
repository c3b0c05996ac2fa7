/* Values: msgpack's, one after the other, from bytes of which nothing is believed: each head is looked at before its bytes
   are touched, and what an array or a map claims is held against what is left of the body before memory is taken.

   Only JSON types and binary are read, of maps only those whose keys are texts and no two alike, of floats only numbers.
   The format: https://github.com/msgpack/msgpack/blob/master/spec.md */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS_ALLOWED 1024 /* entries of one array or map, as in codec.py */
#define DEEPEST 256         /* calls inside one another: what is deeper is not plain */

/* -- texts that come again and again: names of fields, sources, types --------------------------------------------- */

#define SLOTS 1024
#define LONGEST_KEPT 40

typedef struct {
    PyObject *text;
    uint32_t hash;
    uint8_t size;
    char bytes[LONGEST_KEPT];
} Slot;

typedef struct {
    Slot slots[SLOTS];
} State;

/* -- reading ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at, *end, *begin;
    State *state;
    int depth, max_depth;
    Py_ssize_t containers, max_containers, max_items;
    Py_ssize_t most; /* entries that an array or a map may claim; 0 until one claims many */
} Reader;

static size_t left(const Reader *reader) { return (size_t)(reader->end - reader->at); }

static uint64_t big_endian(const uint8_t *bytes, int size) {
    uint64_t number = 0;
    for (int i = 0; i < size; i++) number = number << 8 | bytes[i];
    return number;
}

/* Take a head of one byte and the number of `size` bytes behind it. */
static int take_number(Reader *reader, int size, uint64_t *number) {
    if (left(reader) < 1 + (size_t)size) return 0;
    *number = big_endian(reader->at + 1, size);
    reader->at += 1 + size;
    return 1;
}

static int take_bytes(Reader *reader, uint64_t size, const uint8_t **bytes) {
    if (left(reader) < size) return 0;
    *bytes = reader->at;
    reader->at += size;
    return 1;
}

/* Take a text's bytes, which nobody has looked at yet; 0 where the next value is no text. */
static int take_text(Reader *reader, const uint8_t **bytes, size_t *size) {
    uint64_t length = 0;
    if (!left(reader)) return 0;
    uint8_t head = *reader->at;
    if ((head & 0xe0) == 0xa0) {
        length = head & 0x1f;
        reader->at++;
    } else if (head < 0xd9 || head > 0xdb || !take_number(reader, 1 << (head - 0xd9), &length)) {
        return 0;
    }
    *size = (size_t)length;
    return take_bytes(reader, length, bytes);
}

static PyObject *make_text(const uint8_t *bytes, size_t size) {
    return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, NULL);
}

static PyObject *make_kept_text(State *state, const uint8_t *bytes, size_t size) {
    if (size == 0 || size > LONGEST_KEPT) return make_text(bytes, size);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 16777619u;
    Slot *slot = &state->slots[hash % SLOTS];
    if (slot->text && slot->hash == hash && slot->size == size && !memcmp(slot->bytes, bytes, size))
        return Py_NewRef(slot->text);
    PyObject *text = make_text(bytes, size);
    if (!text) return NULL;
    Py_XDECREF(slot->text);
    slot->text = Py_NewRef(text);
    slot->hash = hash;
    slot->size = (uint8_t)size;
    memcpy(slot->bytes, bytes, size);
    return text;
}

static PyObject *read_value(Reader *reader);

/* Whether an array or a map may have so many entries. Its memory is taken at once, and nested ones that each claim the
   rest of the body would take its square: the more of them there can be, the less each may claim. As in codec.py. */
static int may_hold(Reader *reader, uint64_t count, int bytes_of_each) {
    if (count > left(reader) / bytes_of_each || ++reader->containers > reader->max_containers ||
        reader->depth >= reader->max_depth)
        return 0;
    if (count > ALWAYS_ALLOWED && !reader->most) {
        Py_ssize_t heads = 0, size = reader->end - reader->begin;
        for (const uint8_t *at = reader->begin; at < reader->end; at++) heads += *at >= 0xdc && *at <= 0xdf;
        reader->most = 4 * size / (heads ? heads : 1);
        if (reader->most < ALWAYS_ALLOWED) reader->most = ALWAYS_ALLOWED;
    }
    return count <= (uint64_t)reader->max_items && (count <= ALWAYS_ALLOWED || count <= (uint64_t)reader->most);
}

static PyObject *read_map(Reader *reader, uint64_t count) {
    if (!may_hold(reader, count, 2)) return NULL;
    PyObject *map = PyDict_New();
    if (!map) return NULL;
    reader->depth++;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *bytes;
        size_t size;
        PyObject *key = take_text(reader, &bytes, &size) ? make_kept_text(reader->state, bytes, size) : NULL;
        PyObject *value = key ? read_value(reader) : NULL;
        int failed = value ? PyDict_SetItem(map, key, value) : -1;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (failed) goto refuse;
    }
    reader->depth--;
    if ((uint64_t)PyDict_Size(map) == count) return map;
refuse: /* also where it has the same key twice */
    Py_DECREF(map);
    return NULL;
}

static PyObject *read_array(Reader *reader, uint64_t count) {
    if (!may_hold(reader, count, 1)) return NULL;
    PyObject *array = PyList_New((Py_ssize_t)count);
    if (!array) return NULL;
    reader->depth++;
    for (uint64_t i = 0; i < count; i++) {
        PyObject *value = read_value(reader);
        if (!value || PyList_SetItem(array, (Py_ssize_t)i, value)) {
            Py_DECREF(array);
            return NULL;
        }
    }
    reader->depth--;
    return array;
}

static PyObject *read_float(Reader *reader, int size) {
    uint64_t bits;
    double number;
    if (!take_number(reader, size, &bits)) return NULL;
    if (size == 4) {
        uint32_t half = (uint32_t)bits;
        float small;
        memcpy(&small, &half, 4);
        number = small;
    } else {
        memcpy(&number, &bits, 8);
    }
    return isfinite(number) ? PyFloat_FromDouble(number) : NULL;
}

static PyObject *read_unsigned(Reader *reader, int size) {
    uint64_t number;
    return take_number(reader, size, &number) ? PyLong_FromUnsignedLongLong(number) : NULL;
}

static PyObject *read_signed(Reader *reader, int size) {
    uint64_t bits;
    if (!take_number(reader, size, &bits)) return NULL;
    uint64_t sign = (uint64_t)1 << (8 * size - 1); /* two's complement of so many bytes */
    return PyLong_FromLongLong((int64_t)((bits ^ sign) - sign));
}

static PyObject *read_binary(Reader *reader, int size) {
    uint64_t length;
    const uint8_t *bytes;
    if (!take_number(reader, size, &length) || !take_bytes(reader, length, &bytes)) return NULL;
    return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)length);
}

/* Return the next value, or NULL: with an exception where Python has one, without where it is not plain. */
static PyObject *read_value(Reader *reader) {
    uint64_t count;
    if (!left(reader)) return NULL;
    uint8_t head = *reader->at;
    if ((head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb)) {
        const uint8_t *bytes;
        size_t size;
        return take_text(reader, &bytes, &size) ? make_text(bytes, size) : NULL;
    }
    if (head < 0x80 || head >= 0xe0) return reader->at++, PyLong_FromLong(head < 0x80 ? head : head - 0x100);
    if (head < 0x90) return reader->at++, read_map(reader, head & 0x0f);
    if (head < 0xa0) return reader->at++, read_array(reader, head & 0x0f);
    switch (head) {
    case 0xc0: return reader->at++, Py_NewRef(Py_None);
    case 0xc2: return reader->at++, Py_NewRef(Py_False);
    case 0xc3: return reader->at++, Py_NewRef(Py_True);
    case 0xc4: case 0xc5: case 0xc6: return read_binary(reader, 1 << (head - 0xc4));
    case 0xca: case 0xcb: return read_float(reader, 4 << (head - 0xca));
    case 0xcc: case 0xcd: case 0xce: case 0xcf: return read_unsigned(reader, 1 << (head - 0xcc));
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: return read_signed(reader, 1 << (head - 0xd0));
    case 0xdc: case 0xdd: return take_number(reader, 2 << (head - 0xdc), &count) ? read_array(reader, count) : NULL;
    case 0xde: case 0xdf: return take_number(reader, 2 << (head - 0xde), &count) ? read_map(reader, count) : NULL;
    default: return NULL; /* extension types, and the one head that means nothing */
    }
}
