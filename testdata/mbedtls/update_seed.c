/* Reads a seed file into an entropy context and rewrites it: update_seed FILE. */
#include <stdio.h>
#include <mbedtls/entropy.h>

int main(int argc, char **argv)
{
    mbedtls_entropy_context entropy;
    unsigned char out[MBEDTLS_ENTROPY_BLOCK_SIZE];
    int ret;

    if (argc != 2)
        return 2;
    mbedtls_entropy_init(&entropy);
    ret = mbedtls_entropy_update_seed_file(&entropy, argv[1]);
    if (ret == 0)
        ret = mbedtls_entropy_func(&entropy, out, sizeof out);
    mbedtls_entropy_free(&entropy);
    if (ret != 0)
        fprintf(stderr, "mbedtls_entropy_update_seed_file: -0x%04x\n", (unsigned) -ret);
    return ret != 0;
}
