/* The calls about the whole machine, and those that tell one board, or one MIG instance, from another. */
#include "simulator.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
} PciInfo;

typedef struct { unsigned version, type; union { char text[41]; unsigned char bytes[16]; } value; } Uuid;
enum { UUID_ASCII = 1 };

static int copy_text(const char *text, char *room, unsigned size) {
    if (!room) return INVALID_ARGUMENT;
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(room, text);
    return OK;
}

/* ---- starting, stopping, versions ---- */

EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    BEGIN_MACHINE();
    NEED(!machine.absent, LIBRARY_NOT_FOUND);
    NEED(!machine.broken, UNKNOWN_ERROR);
    machine.references++;
    END(OK);
}

EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
EXPORT int nvmlInit(void) { return nvmlInitWithFlags(0); }

EXPORT int nvmlShutdown(void) {
    BEGIN_MACHINE();
    machine.references--;
    END(OK);
}

EXPORT const char *nvmlErrorString(int code) {
    static const struct { int code; const char *text; } TEXTS[] = {
        {0, "Success"}, {1, "Uninitialized"}, {2, "Invalid Argument"}, {3, "Not Supported"},
        {4, "Insufficient Permissions"}, {6, "Not Found"}, {7, "Insufficient Size"}, {9, "Driver Not Loaded"},
        {10, "Timeout"}, {12, "NVML Shared Library Not Found"}, {13, "Function Not Found"}, {15, "GPU is lost"},
        {16, "GPU requires reset"}, {18, "Driver/library version mismatch"}, {20, "Insufficient Memory"},
        {21, "No data"}, {25, "Argument version mismatch"}, {27, "Not ready"},
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        if (TEXTS[i].code == code) return TEXTS[i].text;
    return "Unknown Error";
}

EXPORT int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    BEGIN_MACHINE();
    END(copy_text(machine.driver, text, size));
}

EXPORT int nvmlSystemGetNVMLVersion(char *text, unsigned size) {
    BEGIN_MACHINE();
    END(copy_text(machine.nvml_version, text, size));
}

EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    BEGIN_MACHINE();
    NEED(version, INVALID_ARGUMENT);
    *version = 13000;
    END(OK);
}

EXPORT int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

EXPORT int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned size) {
    BEGIN_MACHINE();
    char path[32], name[256] = "";
    snprintf(path, sizeof path, "/proc/%u/comm", pid);
    FILE *file = fopen(path, "r");
    NEED(file, NOT_FOUND);
    if (fgets(name, sizeof name, file)) name[strcspn(name, "\n")] = '\0';
    fclose(file);
    END(copy_text(name, text, size));
}

/* ---- finding boards ---- */

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    BEGIN_MACHINE();
    NEED(count, INVALID_ARGUMENT);
    *count = (unsigned)machine.board_count;
    END(OK);
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, const Device **device) {
    BEGIN_MACHINE();
    NEED(device && index < (unsigned)machine.board_count, INVALID_ARGUMENT);
    *device = &machine.boards[index].device;
    END(OK);
}

EXPORT int nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }
EXPORT int nvmlDeviceGetHandleByIndex(unsigned index, const Device **device) {
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static const Device *by_uuid(const char *uuid) {
    for (int i = 0; i < machine.board_count; i++) {
        const Board *board = &machine.boards[i];
        if (!strcmp(board->uuid, uuid)) return &board->device;
        for (int k = 0; board->set.mig && k < board->set.mig_instances; k++)
            if (!strcmp(board->slice_uuids[k], uuid)) return &board->slices[k];
    }
    return NULL;
}

/* Full UUIDs only, as the real one: prefixes are CUDA's business. */
EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, const Device **device) {
    BEGIN_MACHINE();
    NEED(uuid && device, INVALID_ARGUMENT);
    const Device *found = by_uuid(uuid);
    NEED(found, NOT_FOUND);
    *device = found;
    END(OK);
}

EXPORT int nvmlDeviceGetHandleByUUIDV(const Uuid *uuid, const Device **device) {
    BEGIN_MACHINE();
    NEED(uuid && device, INVALID_ARGUMENT);
    NEED(uuid->version == 0x1000034, VERSION_MISMATCH);
    NEED(uuid->type == UUID_ASCII, NOT_SUPPORTED);
    char text[42];
    snprintf(text, sizeof text, "%.41s", uuid->value.text);
    const Device *found = by_uuid(text);
    NEED(found, NOT_FOUND);
    *device = found;
    END(OK);
}

/* "00000000:10:00.0" is the same place as "0000:10:00.0" and "10:00.0". */
static int same_place(const char *a, const char *b) {
    size_t long_a = strlen(a), long_b = strlen(b), tail = long_a < long_b ? long_a : long_b;
    return tail >= 7 && !strcasecmp(a + long_a - tail, b + long_b - tail);
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, const Device **device) {
    BEGIN_MACHINE();
    NEED(bus && device, INVALID_ARGUMENT);
    for (int i = 0; i < machine.board_count; i++) {
        if (!same_place(machine.boards[i].bus, bus)) continue;
        *device = &machine.boards[i].device;
        END(OK);
    }
    END(NOT_FOUND);
}

/* ---- what does not change about a board ---- */

EXPORT int nvmlDeviceGetUUID(const Device *device, char *text, unsigned size) {
    BEGIN_SLICES_TOO(device);
    END(copy_text(device->slice < 0 ? board->uuid : board->slice_uuids[device->slice], text, size));
}

EXPORT int nvmlDeviceGetName(const Device *device, char *text, unsigned size) {
    BEGIN_SLICES_TOO(device);
    char name[128];
    snprintf(name, sizeof name, device->slice < 0 ? "%s" : "%s MIG 1g.10gb", board->name);
    END(copy_text(name, text, size));
}

EXPORT int nvmlDeviceGetVbiosVersion(const Device *device, char *text, unsigned size) {
    BEGIN(device);
    END(copy_text(board->vbios, text, size));
}

EXPORT int nvmlDeviceGetSerial(const Device *device, char *text, unsigned size) {
    BEGIN(device);
    END(copy_text(board->serial, text, size));
}

EXPORT int nvmlDeviceGetIndex(const Device *device, unsigned *index) {
    BEGIN_SLICES_TOO(device);
    NEED(index, INVALID_ARGUMENT);
    *index = (unsigned)(device->slice < 0 ? device->board : device->slice);
    END(OK);
}

EXPORT int nvmlDeviceGetMinorNumber(const Device *device, unsigned *minor) {
    BEGIN(device);
    NEED(minor, INVALID_ARGUMENT);
    *minor = (unsigned)device->board;
    END(OK);
}

EXPORT int nvmlDeviceGetPciInfo_v3(const Device *device, PciInfo *info) {
    BEGIN(device);
    NEED(info, INVALID_ARGUMENT);
    memset(info, 0, sizeof *info);
    NEED(sscanf(board->bus, "%x:%x:%x", &info->domain, &info->bus, &info->device) == 3, UNKNOWN_ERROR);
    info->pci_device = 0x233010de;
    snprintf(info->bus_id, sizeof info->bus_id, "%s", board->bus);
    snprintf(info->legacy, sizeof info->legacy, "%s", board->bus + (strlen(board->bus) > 12 ? 4 : 0));
    END(OK);
}

EXPORT int nvmlDeviceGetPciInfo_v2(const Device *device, PciInfo *info) { return nvmlDeviceGetPciInfo_v3(device, info); }

EXPORT int nvmlDeviceGetArchitecture(const Device *device, unsigned *architecture) {
    BEGIN_SLICES_TOO(device);
    NEED(architecture, INVALID_ARGUMENT);
    *architecture = (unsigned)board->set.architecture;
    END(OK);
}

EXPORT int nvmlDeviceGetCudaComputeCapability(const Device *device, int *major, int *minor) {
    static const int CAPABILITIES[][2] = {{3, 5}, {5, 2}, {6, 0}, {7, 0}, {7, 5}, {8, 0}, {8, 9}, {9, 0}, {10, 0}};
    BEGIN_SLICES_TOO(device);
    NEED(major && minor, INVALID_ARGUMENT);
    int row = (int)board->set.architecture - 2;
    if (row > 8) row = 8;
    *major = CAPABILITIES[row][0];
    *minor = CAPABILITIES[row][1];
    END(OK);
}

EXPORT int nvmlDeviceGetBrand(const Device *device, unsigned *brand) {
    BEGIN(device);
    NEED(brand, INVALID_ARGUMENT);
    *brand = 14;
    END(OK);
}

/* ---- MIG ---- */

EXPORT int nvmlDeviceGetMigMode(const Device *device, unsigned *current, unsigned *pending) {
    BEGIN(device);
    NEED(current && pending, INVALID_ARGUMENT);
    NEED(board->set.architecture >= 7, NOT_SUPPORTED);
    *current = *pending = board->set.mig != 0;
    END(OK);
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(const Device *device, unsigned *count) {
    BEGIN(device);
    NEED(count, INVALID_ARGUMENT);
    *count = board->set.architecture >= 7 ? SLICES : 0;
    END(OK);
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(const Device *device, unsigned index, const Device **slice) {
    BEGIN(device);
    NEED(slice && index < SLICES, INVALID_ARGUMENT);
    NEED(board->set.architecture >= 7, NOT_SUPPORTED);
    NEED(board->set.mig && index < board->set.mig_instances, NOT_FOUND);
    *slice = &board->slices[index];
    END(OK);
}

EXPORT int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const Device *slice, const Device **device) {
    BEGIN_SLICES_TOO(slice);
    NEED(device, INVALID_ARGUMENT);
    NEED(slice->slice >= 0, INVALID_ARGUMENT);
    *device = &board->device;
    END(OK);
}

EXPORT int nvmlDeviceIsMigDeviceHandle(const Device *device, unsigned *answer) {
    BEGIN_SLICES_TOO(device);
    NEED(answer, INVALID_ARGUMENT);
    *answer = device->slice >= 0;
    END(OK);
}

static int slice_number(const Device *device, unsigned *id, int first, const Board *board) {
    if (!id) return INVALID_ARGUMENT;
    if (device->slice < 0) return board->set.mig ? INVALID_ARGUMENT : NOT_SUPPORTED;
    *id = (unsigned)(first < 0 ? 0 : first + device->slice);
    return OK;
}

EXPORT int nvmlDeviceGetGpuInstanceId(const Device *device, unsigned *id) {
    BEGIN_SLICES_TOO(device);
    END(slice_number(device, id, 7, board));
}

EXPORT int nvmlDeviceGetComputeInstanceId(const Device *device, unsigned *id) {
    BEGIN_SLICES_TOO(device);
    END(slice_number(device, id, -1, board));
}
