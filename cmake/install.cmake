# What `cmake --install` puts into a prefix: the program into bin; its man page and the shells' completion where they look for
# them; and launch, configs and tools under share/gaggle, as they lie in the sources. LibTorch, MPI and CUDA stay where they were found:
# the program knows their folders, and a .venv that they came from is linked beside the scripts, which look for mpirun and Python there.
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/gaggle)

# CMake itself keeps only folders outside the sources, and .venv lies inside them.
list(TRANSFORM MPI_CXX_LIBRARIES REPLACE "/[^/]*$" "" OUTPUT_VARIABLE mpi_folders)
list(FILTER mpi_folders INCLUDE REGEX "^/")
set(library_folders ${TORCH_ROOT}/lib ${mpi_folders})
if(GAGGLE_WITH_CUDA)
  list(APPEND library_folders ${CUDAToolkit_LIBRARY_DIR})  # a toolkit of PyPI lies in .venv as well
endif()
list(REMOVE_DUPLICATES library_folders)
set_target_properties(gaggle PROPERTIES INSTALL_RPATH "${library_folders}")
install(TARGETS gaggle RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS launch/local.sh DESTINATION ${share}/launch)
install(FILES launch/env.sh launch/slurm.sbatch launch/array.sbatch DESTINATION ${share}/launch)
install(DIRECTORY configs DESTINATION ${share})
install(FILES tools/tasks.py tools/report.py tools/gaggle_lm_eval.py tools/requirements-lm-eval.txt
        DESTINATION ${share}/tools)
install(DIRECTORY tools/gaggle_torch tools/tasks tools/report DESTINATION ${share}/tools PATTERN __pycache__ EXCLUDE PATTERN "*.egg-info" EXCLUDE)
install(FILES tools/study/study_bootstrap.py DESTINATION ${share}/tools/study)
install(FILES README.md BENCHMARKS.md STUDY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The program itself writes its man page and the completion scripts: from the same parsers and schema as its help.
foreach(page "man/man1/gaggle.1:help --man" "bash-completion/completions/gaggle:completion bash"
        "zsh/site-functions/_gaggle:completion zsh" "fish/vendor_completions.d/gaggle.fish:completion fish")
  string(REGEX MATCH "^(.*)/([^/]*):(.*)$" parts ${page})
  set(file ${PROJECT_BINARY_DIR}/pages/${CMAKE_MATCH_2})
  string(REPLACE " " ";" words ${CMAKE_MATCH_3})
  install(CODE "
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/pages)
    execute_process(COMMAND $<TARGET_FILE:gaggle> ${words} OUTPUT_FILE ${file} COMMAND_ERROR_IS_FATAL ANY)")
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/${CMAKE_MATCH_1})
endforeach()

if(EXISTS ${venv})
  install(CODE "
    set(link \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${share}/.venv)
    message(STATUS \"Installing: \${link} -> ${venv}\")
    file(CREATE_LINK ${venv} \${link} SYMBOLIC)")
endif()
