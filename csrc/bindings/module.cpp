#include "bindings/arguments.h"
#include "runtime/isa.h"

namespace py = pybind11;

PYBIND11_MODULE(_C, module) {
  module.doc() = "Compiled CPU kernels of tsssl_fast. Use the functions of the Python package.";
  module.def(
      "isa", [] { return std::string(tsssl::isa_name(tsssl::active_isa())); },
      "Name of the instruction set in use.");
  module.def("set_isa", &tsssl::set_isa, py::arg("name"),
             "Selects an instruction set by name; '' returns to the automatic choice.");
  module.def(
      "isas",
      [] {
        py::dict supported;
        for (tsssl::Isa isa : tsssl::compiled_isas()) {
          supported[tsssl::isa_name(isa)] = tsssl::isa_supported(isa);
        }
        return supported;
      },
      "Compiled instruction sets, each with whether this machine can run it.");
  module.def(
      "why_not_isa",
      [](const std::string& name) {
        for (tsssl::Isa isa : tsssl::compiled_isas()) {
          if (name == tsssl::isa_name(isa)) return tsssl::why_not_isa(isa);
        }
        return std::string("not compiled in");
      },
      py::arg("name"), "Why this machine can not run an instruction set; '' where it can.");
  module.def(
      "contract", [] { return std::string(TSSSL_CONTRACT); },
      "Hash of the sources that the Python package has to match, computed by CMakeLists.txt.");
#ifdef _OPENMP
  module.attr("openmp") = true;
#else
  module.attr("openmp") = false;
#endif
  tsssl::bind_augment(module);
  tsssl::bind_contrastive(module);
  tsssl::bind_decorrelation(module);
  tsssl::bind_keys(module);
  tsssl::bind_masking(module);
  tsssl::bind_sigmoid_triplet(module);
  tsssl::bind_preprocess(module);
}
