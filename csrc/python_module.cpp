// The Python module megatron_bio.native._compiled.
#include "python_parts.hpp"

PYBIND11_MODULE(_compiled, module) {
    module.doc() = "Compiled parts of megatron-bio; megatron_bio.native says which are there.";
    megatron_bio::add_articles(module);
    megatron_bio::add_bert_rows(module);
    megatron_bio::add_byte_level(module);
    megatron_bio::add_citations(module);
    megatron_bio::add_gpt_rows(module);
    megatron_bio::add_order(module);
    megatron_bio::add_packing(module);
    megatron_bio::add_wordpiece(module);
}
