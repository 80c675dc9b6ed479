/* Writes a seed file as a device with Mbed TLS does: write_seed FILE. */
#include <stdio.h>
#include <mbedtls/entropy.h>

int main(int argc, char **argv)
{
    mbedtls_entropy_context entropy;
    int ret;

    if (argc != 2)
        return 2;
    mbedtls_entropy_init(&entropy);
    ret = mbedtls_entropy_write_seed_file(&entropy, argv[1]);
    mbedtls_entropy_free(&entropy);
    if (ret != 0)
        fprintf(stderr, "mbedtls_entropy_write_seed_file: -0x%04x\n", (unsigned) -ret);
    return ret != 0;
}
