/* A stand-in for the NVIDIA driver's library, for tests where there is no GPU. It computes nothing.
 *
 *     gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o libcuda.so.1 cuda_stub.c
 *
 * What it pretends is read from the environment:
 *     CUDA_STUB_GPUS   the cards, `name=major.minor=bytes;…`; none where it is empty or not set
 *     CUDA_STUB_INIT   the result of cuInit; 0 where it is not set
 *     CUDA_STUB_CUDA   the newest CUDA that it runs, 1000 * major + 10 * minor; 11080 where it is not set
 *
 * Besides what asks for the cards it has the ten functions that the wheel mxnet-cu112 is linked to, so that this can be imported:
 * its operators for CPUs work, its GPUs are none.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, SYSTEM_DRIVER_MISMATCH = 803, UNKNOWN = 999 };
enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };
enum { MOST_GPUS = 16 };

struct gpu {
    char name[100];
    int major, minor;
    size_t memory;
};

static struct gpu gpus[MOST_GPUS];
static int count;
static int initialised;

static int number(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? atoi(text) : otherwise;
}

static void read_gpus(void)
{
    const char *text = getenv("CUDA_STUB_GPUS");
    count = 0;
    while (text && *text && count < MOST_GPUS) {
        struct gpu *gpu = &gpus[count];
        if (sscanf(text, "%99[^=]=%d.%d=%zu", gpu->name, &gpu->major, &gpu->minor, &gpu->memory) != 4) {
            fprintf(stderr, "cuda_stub: CUDA_STUB_GPUS: not name=major.minor=bytes: %s\n", text);
            abort();
        }
        count++;
        text = strchr(text, ';');
        text = text ? text + 1 : NULL;
    }
}

int cuInit(unsigned flags)
{
    int result = number("CUDA_STUB_INIT", SUCCESS);
    if (flags || result)
        return flags ? INVALID_VALUE : result;
    read_gpus();
    if (!count)
        return NO_DEVICE;
    initialised = 1;
    return SUCCESS;
}

int cuDriverGetVersion(int *version)
{
    *version = number("CUDA_STUB_CUDA", 11080);
    return SUCCESS;
}

int cuDeviceGetCount(int *found)
{
    *found = count;
    return initialised ? SUCCESS : NOT_INITIALIZED;
}

int cuDeviceGet(int *device, int index)
{
    if (!initialised)
        return NOT_INITIALIZED;
    *device = index;
    return index >= 0 && index < count ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int length, int device)
{
    if (device < 0 || device >= count || length < 1)
        return INVALID_DEVICE;
    snprintf(name, (size_t)length, "%s", gpus[device].name);
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    if (device < 0 || device >= count)
        return INVALID_DEVICE;
    *bytes = gpus[device].memory;
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    if (device < 0 || device >= count)
        return INVALID_DEVICE;
    if (attribute != CAPABILITY_MAJOR && attribute != CAPABILITY_MINOR)
        return INVALID_VALUE;
    *value = attribute == CAPABILITY_MAJOR ? gpus[device].major : gpus[device].minor;
    return SUCCESS;
}

static const struct { int code; const char *name, *words; } errors[] = {
    { SUCCESS, "CUDA_SUCCESS", "no error" },
    { INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument" },
    { NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error" },
    { NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected" },
    { INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal" },
    { SYSTEM_DRIVER_MISMATCH, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination" },
    { UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error" },
};

static int describe(int code, const char **text, int words)
{
    *text = NULL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code)
            *text = words ? errors[i].words : errors[i].name;
    return *text ? SUCCESS : INVALID_VALUE;
}

int cuGetErrorName(int code, const char **text)
{
    return describe(code, text, 0);
}

int cuGetErrorString(int code, const char **text)
{
    return describe(code, text, 1);
}

/* What mxnet-cu112 is linked to besides cuDeviceGet and cuGetErrorString, and never gets to call without a GPU. */
#define NEVER(function) int function(void) { return NOT_INITIALIZED; }
NEVER(cuDevicePrimaryCtxRetain)
NEVER(cuGraphKernelNodeGetParams)
NEVER(cuGraphNodeGetType)
NEVER(cuLaunchKernel)
NEVER(cuModuleGetFunction)
NEVER(cuModuleLoadData)
NEVER(cuModuleLoadDataEx)
NEVER(cuModuleUnload)
